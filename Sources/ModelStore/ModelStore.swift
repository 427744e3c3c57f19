public struct ModelStore { public init() throws {} ; public var cache: String { "" } }
