import Testing

import Inference
