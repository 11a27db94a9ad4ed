"""The one protocol: the list of columns, and a file a group of figures."""
