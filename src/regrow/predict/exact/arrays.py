"""Array types of this room's kernels, beside those of `regrow.core.jit`: by element and number of dimensions."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numba import types
from numpy.typing import NDArray

I8x2 = Annotated[NDArray[np.int8], types.int8[:, ::1]]
I8x4 = Annotated[NDArray[np.int8], types.int8[:, :, :, ::1]]
I8x5 = Annotated[NDArray[np.int8], types.int8[:, :, :, :, ::1]]
U8x2 = Annotated[NDArray[np.uint8], types.uint8[:, ::1]]
I16x2 = Annotated[NDArray[np.int16], types.int16[:, ::1]]
