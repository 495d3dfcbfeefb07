"""What experiments execute: an HTTP endpoint, a chat model, a registered callable. All implement `OpenTarget`."""
