"""How finished datapoints reach the server: HTTP, the delivery thread, the spool and its replay."""
