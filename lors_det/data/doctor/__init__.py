"""The data doctor: looks at a data set before anything is trained on it, and mends what can be mended.

``open_case`` reads a :class:`~lors_det.data.record.DataFolder` and its images, ``examine`` runs all checks, ``repair``
makes records that have the mendable faults no more. A check is a function of a case that yields findings.
"""

from lors_det.data.doctor.case import Case, open_case
from lors_det.data.doctor.constant_box import ConstantBox, best_constant_box
from lors_det.data.doctor.examine import examine
from lors_det.data.doctor.headers import check_headers
from lors_det.data.doctor.repair import Repair, repair

__all__ = ["Case", "ConstantBox", "Repair", "best_constant_box", "check_headers", "examine", "open_case", "repair"]
