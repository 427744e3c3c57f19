import Foundation
import Testing
import Tokenizers

/// Cases of other implementations, collected by `scripts/tokenizer_vectors.py` and
/// `scripts/tokenizer_check.py`; nothing to do where they have not been collected.
struct VectorTests {
  static let directory: URL = {
    let environment = ProcessInfo.processInfo.environment
    if let path = environment["ATTENTION_TOKENIZER_VECTORS"] {
      return URL(fileURLWithPath: path)
    }
    let cache =
      environment["XDG_CACHE_HOME"].map { URL(fileURLWithPath: $0) }
      ?? FileManager.default.homeDirectoryForCurrentUser.appending(path: ".cache")
    return cache.appending(path: "swift-attention/tokenizer-vectors")
  }()

  static let names: [String] = {
    let found = try? FileManager.default.contentsOfDirectory(atPath: directory.path)
    return (found ?? []).sorted().filter {
      FileManager.default.fileExists(atPath: directory.appending(path: "\($0)/cases.json").path)
    }
  }()

  static func read(_ name: String, _ file: String) throws -> JSON {
    let data = try Data(contentsOf: directory.appending(path: "\(name)/\(file)"))
    return try JSON(parsing: [UInt8](data))
  }

  static func tokenizer(_ name: String) throws -> Tokenizer {
    let path = directory.appending(path: "\(name)/tokenizer.json").path
    if FileManager.default.fileExists(atPath: path) {
      return try Tokenizer(
        tokenizerJSON: [UInt8](try Data(contentsOf: URL(fileURLWithPath: path))))
    }
    return try Tokenizer(GGUFVocabulary(read(name, "vocabulary.json")))
  }

  @Test(arguments: names)
  func encodesAsTheReference(name: String) throws {
    let tokenizer = try Self.tokenizer(name)
    guard case .array(let cases) = try Self.read(name, "cases.json") else {
      Issue.record("\(name)/cases.json is not an array")
      return
    }
    var failures = 0
    for item in cases {
      guard case .string(let text) = item["text"], case .array(let list) = item["ids"] else {
        Issue.record("a case of \(name) lacks text or ids")
        continue
      }
      let expected: [TokenID] = list.compactMap {
        if case .integer(let id) = $0 { TokenID(id) } else { nil }
      }
      let found = tokenizer.encode(text, addSpecialTokens: false)
      if found != expected {
        failures += 1
        if failures <= 5 {
          Issue.record(
            "\(name): \(text.debugDescription): expected \(expected), found \(found)")
        }
      }
      var stream = StreamingDetokenizer(tokenizer)
      var streamed = found.map { stream.append($0) }.joined()
      streamed += stream.finish()
      let whole = tokenizer.decode(found)
      if streamed != whole { Issue.record("\(name): streaming \(text.debugDescription)") }
      if case .string(let decoded) = item["decoded"], decoded != whole {
        failures += 1
        if failures <= 5 {
          Issue.record(
            "\(name): decoding \(found): expected \(decoded.debugDescription), found \(whole.debugDescription)"
          )
        }
      }
    }
    print("tokenizer vectors: \(name): \(cases.count - failures) of \(cases.count)")
  }
}
