import Testing

import Attention
