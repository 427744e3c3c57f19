import Tokenizers

extension GGUFVocabulary {
  /// Facts under the names GGUF files give them, as the scripts write them.
  init(_ json: JSON) throws {
    func value(_ name: String) -> JSON? { json["tokenizer.ggml.\(name)"] }
    func strings(_ name: String) -> [String] {
      guard case .array(let items) = value(name) else { return [] }
      return items.map { if case .string(let text) = $0 { text } else { "" } }
    }
    func numbers(_ name: String) -> [Double] {
      guard case .array(let items) = value(name) else { return [] }
      return items.map {
        switch $0 {
        case .integer(let number): Double(number)
        case .number(let number): number
        default: .nan
        }
      }
    }
    func id(_ name: String) -> TokenID? {
      if case .integer(let number) = value("\(name)_token_id") { TokenID(number) } else { nil }
    }
    func flag(_ name: String) -> Bool? {
      if case .bool(let flag) = value(name) { flag } else { nil }
    }
    guard case .string(let model) = value("model") else { throw MissingModel() }
    self.init(model: model, tokens: strings("tokens"))
    if case .string(let name) = value("pre") { pre = name }
    scores = numbers("scores").map { Float($0) }
    tokenTypes = numbers("token_type").map { Int32($0) }
    merges = strings("merges")
    bos = id("bos")
    eos = id("eos")
    eot = id("eot")
    unknown = id("unknown")
    separator = id("seperator")
    padding = id("padding")
    classification = id("cls")
    mask = id("mask")
    addBOS = flag("add_bos_token")
    addEOS = flag("add_eos_token")
    addSpacePrefix = flag("add_space_prefix")
    removeExtraWhitespaces = flag("remove_extra_whitespaces")
    precompiledCharsMap = numbers("precompiled_charsmap").map { UInt8(truncatingIfNeeded: Int($0)) }
    if case .string(let template) = json["tokenizer.chat_template"] { chatTemplate = template }
  }

  struct MissingModel: Error {}
}
