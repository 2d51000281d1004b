"""Key store windows: a key of a Windows key storage provider (KSP), which SignTool and smctl use."""
