"""Processing functions on NumPy, SciPy and scikit-image, and the same on CuPy in `openhcs_functions.gpu`.

Rules of all functions
----------------------
- Axes are those of the declaration: "YX" is one plane (height, width), "ZYX" a stack, "SYX" the fields of a well,
  "CYX" channels. Lengths are in pixels unless a name or the text says otherwise.
- Filters, corrections and projections give the pixel type that they get: values are computed in floating point,
  rounded to the nearest integer and clipped to the range of the type, so that nothing wraps around. Exceptions say so.
- Masks and labels are unsigned integers; 0 is background. Labels are numbered from 1 without gaps.
- One call uses one thread; the pipeline runs several.
- Wrong values of parameters raise `openhcs_core.functions.FunctionError`.
"""
