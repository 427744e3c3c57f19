/// The number of one token in a vocabulary, counted from 0.
public typealias TokenID = Int32
