/// The keys of which a client must show one.
struct APIKeys: Sendable {
  private let keys: [[UInt8]]

  init(_ keys: [String]) { self.keys = keys.map { Array($0.utf8) } }

  /// Whether the header shows a valid key, or none is needed.
  ///
  /// Takes as long for a wrong key as for a right one of its length, whichever characters differ.
  func admit(_ authorization: String?) -> Bool {
    if keys.isEmpty { return true }
    guard let authorization, authorization.prefix(7).lowercased() == "bearer " else { return false }
    let shown = Array(authorization.dropFirst(7).utf8)
    var isAny: UInt8 = 0
    for key in keys {
      var difference: UInt8 = key.count == shown.count ? 0 : 1
      for (i, byte) in shown.enumerated() { difference |= byte ^ key[i % key.count] }
      isAny |= difference == 0 ? 1 : 0
    }
    return isAny == 1
  }
}
