"""`kspsign signtool`: SignTool's own command line, words and exit codes over kspsign's path."""
