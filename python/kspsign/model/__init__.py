"""The ground floor: values, the report, errors, HRESULTs."""
