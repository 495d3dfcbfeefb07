"""The HoneyHive protocol to the letter: thin views over the same services as the native API."""
