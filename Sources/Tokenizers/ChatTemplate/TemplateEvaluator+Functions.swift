import Foundation

extension TemplateEvaluator {
  private static var longestRange: Int { 100_000 }

  /// The functions every template may call.
  mutating func global(
    _ name: String, _ arguments: TemplateArguments, _ position: TemplatePosition
  ) throws(Failure) -> TemplateValue {
    switch name {
    case "range": return try range(arguments, position)
    case "namespace", "dict":
      let dictionary = TemplateValue.Dictionary()
      if case .dictionary(let other) = arguments.positional.first {
        for (key, value) in zip(other.keys, other.values) { set(key, value, in: dictionary) }
      }
      for (key, value) in arguments.named.sorted(by: { $0.key < $1.key }) {
        set(.string(TemplateText(key)), value, in: dictionary)
      }
      return name == "dict" ? .dictionary(dictionary) : .namespace(dictionary)
    case "raise_exception":
      let message = try arguments.positional.first.map { value throws(Failure) in
        try string(value, position).string
      }
      throw position.failure(.raised, message ?? "the template raised an exception")
    case "strftime_now":
      guard let format = arguments.text(0, "format") else {
        throw position.failure(.type, "strftime_now needs a format")
      }
      return try made(TemplateText(Self.formatted(format.string, time)), position)
    default: throw position.failure(.undefined, "'\(name)' is undefined")
    }
  }

  private mutating func range(
    _ arguments: TemplateArguments, _ position: TemplatePosition
  ) throws(Failure) -> TemplateValue {
    let bounds = arguments.positional.compactMap(\.integer)
    guard bounds.count == arguments.positional.count, (1...3).contains(bounds.count) else {
      throw position.failure(.type, "range takes one to three integers")
    }
    let start = bounds.count > 1 ? bounds[0] : 0
    let end = bounds.count > 1 ? bounds[1] : bounds[0]
    let step = bounds.count > 2 ? bounds[2] : 1
    if step == 0 { throw position.failure(.type, "range's step is 0") }
    var items: [TemplateValue] = []
    var i = start
    while step > 0 ? i < end : i > end {
      if items.count == Self.longestRange {
        throw position.failure(.limit, "a range of more than \(Self.longestRange) integers")
      }
      items.append(.integer(i))
      let (next, overflow) = i.addingReportingOverflow(step)
      if overflow { break }
      i = next
    }
    try self.step(items.count, position)
    return newList(items)
  }

  /// Local time by the C library's `strftime`; the format is cut to what fits its buffer.
  private static func formatted(_ format: String, _ time: Int?) -> String {
    var seconds = time_t(time ?? Int(Date().timeIntervalSince1970))
    var parts = tm()
    guard localtime_r(&seconds, &parts) != nil else { return "" }
    var buffer = [CChar](repeating: 0, count: 512)
    let length = strftime(&buffer, buffer.count, String(format.prefix(128)), &parts)
    return String(decoding: buffer[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
