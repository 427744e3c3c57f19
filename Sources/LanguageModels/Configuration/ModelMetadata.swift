/// A value of a checkpoint's metadata.
public enum MetadataValue: Sendable, Hashable {
  /// A whole number.
  case integer(Int)
  /// Any other number.
  case number(Double)
  /// Text.
  case text(String)
  /// A truth value.
  case flag(Bool)
  /// A list of numbers.
  case numbers([Double])
}

/// The facts about a model that its checkpoint states.
///
/// Keys are GGUF's without the architecture's prefix: `embedding_length`, `attention.head_count`.
public struct ModelMetadata: Sendable {
  /// The architecture's name, for example `llama`.
  public let architecture: String

  /// Whether the weights keep the original order of a head's dimensions.
  ///
  /// GGUF converters reorder Llama's query and key rows so that RoPE rotates adjacent pairs; the
  /// original checkpoints rotate halves.
  public let hasOriginalHeadOrder: Bool

  /// Whether RMSNorm weights lack the 1 that Gemma adds to them.
  public let hasZeroCentredNorms: Bool

  /// What each rotary frequency is divided by, where the checkpoint lists it.
  public let frequencyFactors: [Float]?

  private let lookup: @Sendable (String) -> MetadataValue?

  /// Metadata that `lookup` answers by key.
  public init(
    architecture: String, hasOriginalHeadOrder: Bool = false, hasZeroCentredNorms: Bool = false,
    frequencyFactors: [Float]? = nil, lookup: @escaping @Sendable (String) -> MetadataValue?
  ) {
    self.architecture = architecture
    self.hasOriginalHeadOrder = hasOriginalHeadOrder
    self.hasZeroCentredNorms = hasZeroCentredNorms
    self.frequencyFactors = frequencyFactors
    self.lookup = lookup
  }

  /// The whole number at `key`, or `nil` where there is none.
  func integer(_ key: String, in range: ClosedRange<Int>) throws(ModelError) -> Int? {
    guard let value = lookup(key) else { return nil }
    guard case .integer(let number) = value, range.contains(number) else {
      throw .metadata(
        key: key, expected: "a whole number from \(range.lowerBound) to \(range.upperBound)",
        found: value.text)
    }
    return number
  }

  /// The whole number at `key`, which must be there.
  func required(_ key: String, in range: ClosedRange<Int>) throws(ModelError) -> Int {
    guard let number = try integer(key, in: range) else {
      throw .metadata(key: key, expected: "a whole number", found: "nothing")
    }
    return number
  }

  /// The positive finite number at `key`, or `nil` where there is none.
  func positive(_ key: String) throws(ModelError) -> Float? {
    guard let value = lookup(key) else { return nil }
    let number: Double? =
      switch value {
      case .integer(let number): Double(number)
      case .number(let number): number
      default: nil
      }
    guard let number, number > 0, Float(number).isFinite else {
      throw .metadata(key: key, expected: "a positive number", found: value.text)
    }
    return Float(number)
  }

  /// The list of positive finite numbers at `key`, or `nil` where there is none.
  func numbers(_ key: String) throws(ModelError) -> [Double]? {
    guard let value = lookup(key) else { return nil }
    guard case .numbers(let numbers) = value, numbers.allSatisfy({ $0 > 0 && $0.isFinite }) else {
      throw .metadata(key: key, expected: "a list of positive numbers", found: value.text)
    }
    return numbers
  }

  /// The text at `key`, or `nil` where there is none.
  func text(_ key: String) -> String? {
    guard case .text(let text)? = lookup(key) else { return nil }
    return text
  }
}

extension MetadataValue {
  /// The value as a message shows it.
  var text: String {
    switch self {
    case .integer(let value): String(value)
    case .number(let value): String(value)
    case .text(let value): "\"\(value.prefix(60))\""
    case .flag(let value): String(value)
    case .numbers(let values): "a list of \(values.count) numbers"
    }
  }
}
