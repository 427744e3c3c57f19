import Testing

import Tokenizers
