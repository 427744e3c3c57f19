import Testing

import Checkpoints
