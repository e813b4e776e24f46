"""How a row is written down: one module a format, each from a stream to rows, none holding more than one."""
