"""Programs made by others (SignTool, smctl, az, NavSip): located, run with a minimal environment, parsed."""

from kspsign.programs.client_certificate_file import in_temp_folder, with_client_certificate_file
from kspsign.programs.locate import Tool, find_az, find_signtool, find_smctl
from kspsign.programs.run import Ran, call_tool, run_tool, tool_environment

__all__ = [
    "Ran",
    "Tool",
    "call_tool",
    "find_az",
    "find_signtool",
    "find_smctl",
    "in_temp_folder",
    "run_tool",
    "tool_environment",
    "with_client_certificate_file",
]
