import Foundation
import Testing
import Tokenizers

/// Real templates rendered by Python's jinja2 (`scripts/tokenizer_templates.py`); nothing to do
/// where they have not been collected.
struct TemplateVectorTests {
  @Test func rendersAsJinja() throws {
    let file = VectorTests.directory.appending(path: "templates.json")
    guard let data = try? Data(contentsOf: file) else { return }
    guard case .array(let cases) = try JSON(parsing: [UInt8](data)) else {
      Issue.record("templates.json is not an array")
      return
    }
    var passed = 0
    var failures = 0
    for item in cases {
      guard case .string(let name) = item["name"], case .string(let source) = item["template"],
        case .object(let values) = item["values"],
        case .object(let trustedMembers) = item["trusted"],
        case .integer(let time) = item["time"]
      else {
        Issue.record("a case lacks a member")
        continue
      }
      var trusted: [String: String] = [:]
      for member in trustedMembers {
        if case .string(let text) = member.value { trusted[member.name] = text }
      }
      var found: String?
      var problem = ""
      do {
        found = try ChatTemplate(source).render(values, trusted: trusted, time: time)
          .map(\.text).joined()
      } catch {
        problem = "\(error)"
      }
      var expected: String?
      if case .string(let text) = item["expected"] { expected = text }
      if found == expected {
        passed += 1
      } else {
        failures += 1
        if failures <= 40 {
          Issue.record(
            "\(name): \(problem)\nexpected \(expected ?? "an error")\nfound \(found ?? "")")
        }
      }
    }
    print("chat templates: \(passed) of \(cases.count)")
  }
}
