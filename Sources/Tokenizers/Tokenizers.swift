/// A token's number in its vocabulary.
public typealias TokenID = Int32
