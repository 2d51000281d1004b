"""Known failures of signing and verifying: what a code or a program's output means, and what to do.

The knowledge is data (failures.yml); it is read when the first failure is to be explained.
"""

from kspsign.diagnosis.link import paragraph_link
from kspsign.diagnosis.match import Diagnosis, diagnose
from kspsign.diagnosis.similar import similar_failures
from kspsign.diagnosis.troubleshooting import troubleshooting_text

__all__ = ["Diagnosis", "diagnose", "paragraph_link", "similar_failures", "troubleshooting_text"]
