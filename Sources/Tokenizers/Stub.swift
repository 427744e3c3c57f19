public struct ChatTemplate: Sendable { public init(_ s: String) throws {} }
public struct ChatMessage { public init(role: String, content: String) {} }
extension Tokenizer { public init(tokenizerJSON: UnsafeRawBufferPointer, configuration: UnsafeRawBufferPointer?) throws { fatalError() } }
extension ChatTemplate { public func render(_ m: [ChatMessage], addGenerationPrompt: Bool) throws -> String { "" } }
