import Testing

import ModelStore
