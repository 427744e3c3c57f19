import Testing

@testable import Attention
