/// SentencePiece's precompiled normalization table: a double-array trie from byte sequences to
/// replacement strings.
///
/// Layout: the trie's size in bytes (32-bit little-endian), the trie's 32-bit units, then the
/// replacements, each ended by a zero byte.
struct CharacterMap: Sendable {
  private var units: [UInt32]
  private var replacements: [UInt8]

  init(_ blob: [UInt8]) throws(Tokenizer.LoadError) {
    func word(_ i: Int) -> UInt32 {
      UInt32(blob[i]) | UInt32(blob[i + 1]) << 8 | UInt32(blob[i + 2]) << 16
        | UInt32(blob[i + 3]) << 24
    }
    guard blob.count >= 4 else {
      throw .malformedCharacterMap("\(blob.count) bytes; expected at least 4")
    }
    let size = Int(word(0))
    guard size % 4 == 0, size <= blob.count - 4 else {
      throw .malformedCharacterMap("trie of \(size) bytes in a table of \(blob.count)")
    }
    units = stride(from: 4, to: 4 + size, by: 4).map(word)
    replacements = Array(blob[(4 + size)...])
    if let last = replacements.last, last != 0 { replacements.append(0) }
  }

  func apply(_ text: String, byGrapheme: Bool) -> String {
    let bytes = Array(text.utf8)
    var result: [UInt8] = []
    result.reserveCapacity(bytes.count)
    if byGrapheme {
      for character in text {
        let grapheme = Array(character.utf8)
        if grapheme.count < 6, let found = match(grapheme, 0, longest: false) {
          append(found.replacement, to: &result)
          continue
        }
        for scalar in character.unicodeScalars {
          let one = Array(String(scalar).utf8)
          if let found = match(one, 0, longest: false) {
            append(found.replacement, to: &result)
          } else {
            result.append(contentsOf: one)
          }
        }
      }
    } else {
      var i = 0
      while i < bytes.count {
        if let found = match(bytes, i, longest: true) {
          append(found.replacement, to: &result)
          i = found.end
        } else {
          let end = min(i + UTF8.length(leading: bytes[i]), bytes.count)
          result.append(contentsOf: bytes[i..<end])
          i = end
        }
      }
    }
    return String(decoding: result, as: UTF8.self)
  }

  private func append(_ replacement: Int, to result: inout [UInt8]) {
    var i = replacement
    while i < replacements.count, replacements[i] != 0 {
      result.append(replacements[i])
      i += 1
    }
  }

  /// Follows the trie (Darts-clone's unit layout); indices from the file are checked at each step.
  private func match(
    _ bytes: [UInt8], _ start: Int, longest: Bool
  ) -> (end: Int, replacement: Int)? {
    guard let root = units.first else { return nil }
    func offset(_ unit: UInt32) -> Int { Int((unit >> 10) << ((unit & 0x200) >> 6)) }
    var node = offset(root)
    var best: (Int, Int)?
    var i = start
    while i < bytes.count {
      node ^= Int(bytes[i])
      guard node < units.count else { return best }
      let unit = units[node]
      guard unit & 0x8000_00ff == UInt32(bytes[i]) else { return best }
      node ^= offset(unit)
      i += 1
      guard node < units.count else { return best }
      if unit & 0x100 != 0 {
        best = (i, Int(units[node] & 0x7fff_ffff))
        if !longest { return best }
      }
    }
    return best
  }
}
