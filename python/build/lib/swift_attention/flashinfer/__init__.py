"""FlashInfer's names and shapes over this engine, for tensors on the CPU.

What FlashInfer has only as CUDA source, or for number formats of newer GPUs, raises
``NotImplementedError`` or has no name here.
"""

from . import activation, attention, cascade, decode, gemm, jit, logits_processor, mla, norm
from . import page, pod, prefill, quantization, rope, sampling, sparse, utils
from .activation import *
from .attention import *
from .cascade import *
from .decode import *
from .gemm import *
from .mla import *
from .norm import *
from .norm import fused_add_rmsnorm_quant, layernorm_quant, rmsnorm_quant
from .page import *
from .pod import *
from .prefill import *
from .quantization import *
from .rope import *
from .sampling import *
from .sparse import *
from .utils import next_positive_power_of_2

#: The version of the interface that these names follow.
__version__ = "0.6.18"
