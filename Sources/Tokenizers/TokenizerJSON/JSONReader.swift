/// Looks into a JSON document and says where something is not as expected.
struct JSONReader {
  let value: JSON
  let path: String

  func expected(_ what: String) -> Tokenizer.LoadError { .expected(what, at: path) }

  func unsupported(_ what: String) -> Tokenizer.LoadError { .unsupported(what, at: path) }

  /// The member of this name, unless missing or null.
  func optional(_ name: String) -> JSONReader? {
    guard let member = value[name], member != .null else { return nil }
    return JSONReader(value: member, path: path.isEmpty ? name : "\(path).\(name)")
  }

  func member(_ name: String) throws(Tokenizer.LoadError) -> JSONReader {
    guard let member = optional(name) else { throw expected("a member \"\(name)\"") }
    return member
  }

  func string() throws(Tokenizer.LoadError) -> String {
    guard let string = value.string else { throw expected("a string") }
    return string
  }

  func integer() throws(Tokenizer.LoadError) -> Int {
    guard let integer = value.integer else { throw expected("an integer") }
    return integer
  }

  func items() throws(Tokenizer.LoadError) -> [JSONReader] {
    guard let array = value.array else { throw expected("an array") }
    return array.enumerated().map { JSONReader(value: $1, path: "\(path)[\($0)]") }
  }

  func flag(_ name: String, default otherwise: Bool) throws(Tokenizer.LoadError) -> Bool {
    guard let member = optional(name) else { return otherwise }
    guard let flag = member.value.bool else { throw member.expected("true or false") }
    return flag
  }

  /// The member "type".
  func type() throws(Tokenizer.LoadError) -> String { try member("type").string() }
}
