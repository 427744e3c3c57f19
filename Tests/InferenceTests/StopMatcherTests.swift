import Inference
import Testing

@Suite struct StopMatcherTests {
  static func run(_ stops: [String], _ pieces: [String]) -> (text: String, match: String?) {
    var matcher = StopMatcher(stops)
    var text = ""
    for piece in pieces { text += matcher.append(piece) }
    text += matcher.finish()
    return (text, matcher.match)
  }

  @Test func stopsAcrossPieces() {
    #expect(Self.run(["END"], ["a", "E", "N", "D", "b"]) == ("a", "END"))
    #expect(Self.run(["END"], ["aE", "Nx", "END"]) == ("aENx", "END"))
    #expect(Self.run(["END"], ["E", "E", "ND"]) == ("E", "END"))
    #expect(Self.run(["END"], ["EN"]) == ("EN", nil))
    #expect(Self.run([], ["x", "y"]) == ("xy", nil))
    #expect(Self.run([""], ["x"]) == ("x", nil))
    #expect(Self.run(["é"], ["caf", "é", "!"]) == ("caf", "é"))
  }

  @Test func theLongerOfTwoThatBeginTogetherWins() {
    #expect(Self.run(["\n", "\n\n"], ["a", "\n", "\n", "b"]) == ("a", "\n\n"))
    #expect(Self.run(["\n", "\n\n"], ["a", "\n", "b"]) == ("a", "\n"))
    #expect(Self.run(["ab", "b"], ["a", "c", "b"]) == ("ac", "b"))
  }

  /// However the text is cut, the result is the same as for the whole text.
  @Test func cutsDoNotMatter() {
    let text = "one two <|end|> three <|en d|> four"
    for stops in [["<|end|>"], ["<|en", "<|end|>"], ["four", "three"], ["nowhere"]] {
      let whole = Self.run(stops, [text])
      for cut in 1..<text.count {
        let characters = Array(text)
        let pieces = stride(from: 0, to: characters.count, by: cut).map {
          String(characters[$0..<min($0 + cut, characters.count)])
        }
        #expect(Self.run(stops, pieces) == whole)
      }
    }
  }
}
