"""The programs that Microsoft and DigiCert make: found, started with what they need and nothing more, listened to."""

from kspsign.tools.finding import Tool, find_az, find_signtool, find_smctl
from kspsign.tools.running import Ran, call_tool, run_tool, tool_environment
from kspsign.tools.workspace import in_reach

__all__ = [
    "Ran",
    "Tool",
    "call_tool",
    "find_az",
    "find_signtool",
    "find_smctl",
    "in_reach",
    "run_tool",
    "tool_environment",
]
