"""Plain decisions and numbers: no Django in here."""
