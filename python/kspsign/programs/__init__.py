"""Programs made by others (SignTool, smctl, az, NavSip): located, run with a minimal environment, parsed."""
