extension Tokenizer { public init(tokenizerJSON: UnsafeRawBufferPointer, configuration: UnsafeRawBufferPointer?) throws { fatalError() } }
