/// A text taken apart for pre-tokenizers: its UTF-8, and every character with its class and place.
struct ScalarText {
  let bytes: [UInt8]
  private(set) var values: [UInt32]
  private(set) var classes: [ScalarClass]
  /// Byte offset of each character, and the end of the text.
  private(set) var offsets: [Int]

  var count: Int { values.count }

  init(_ text: some StringProtocol) {
    bytes = Array(text.utf8)
    values = []
    classes = []
    offsets = []
    values.reserveCapacity(bytes.count)
    classes.reserveCapacity(bytes.count)
    offsets.reserveCapacity(bytes.count + 1)
    var offset = 0
    for scalar in text.unicodeScalars {
      values.append(scalar.value)
      classes.append(ScalarClass(scalar))
      offsets.append(offset)
      offset += UTF8.width(scalar)
    }
    offsets.append(offset)
  }

  /// The bytes of a run of characters.
  func byteRange(_ range: Range<Int>) -> Range<Int> {
    offsets[range.lowerBound]..<offsets[range.upperBound]
  }
}
