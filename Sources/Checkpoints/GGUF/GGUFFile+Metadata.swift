extension GGUFFile {
  /// The value of a key that must be present.
  public func value(_ key: String) throws(Malformed) -> GGUFValue {
    guard let value = metadata[key] else { throw malformed(.missingKey(key)) }
    return value
  }

  /// The integer of a key that must be present.
  public func integer(_ key: String) throws(Malformed) -> Int {
    try value(key, "an integer", \.integer)
  }

  /// The number of a key that must be present.
  public func number(_ key: String) throws(Malformed) -> Double {
    try value(key, "a number", \.number)
  }

  /// The truth value of a key that must be present.
  public func bool(_ key: String) throws(Malformed) -> Bool {
    try value(key, "a truth value", \.bool)
  }

  /// The string of a key that must be present.
  public func string(_ key: String) throws(Malformed) -> String {
    try value(key, "a string", \.string)
  }

  /// The list of a key that must be present.
  public func array(_ key: String) throws(Malformed) -> GGUFArray {
    try value(key, "a list", \.array)
  }

  private func value<T>(
    _ key: String, _ expected: String, _ path: KeyPath<GGUFValue, T?>
  ) throws(Malformed) -> T {
    let value = try value(key)
    guard let result = value[keyPath: path] else {
      throw malformed(.wrongType(key: key, found: value.type, expected: expected))
    }
    return result
  }

  /// An error found when a value is asked for, not when the file is read; it points at the header.
  private func malformed(_ problem: Malformed.Problem) -> Malformed {
    Malformed(path: file.path, offset: 0, problem: problem)
  }
}
