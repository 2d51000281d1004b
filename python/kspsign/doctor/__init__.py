"""`kspsign doctor`: every prerequisite of a run by name, each with its remedy when it is missing; nothing is signed."""

from kspsign.doctor.report import doctor_schema, report_refused, run_doctor

__all__ = ["doctor_schema", "report_refused", "run_doctor"]
