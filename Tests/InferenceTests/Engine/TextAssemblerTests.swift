import Devices
import Inference
import LanguageModels
import TestModels
import Testing
import Tokenizers

@Suite struct TextAssemblerTests {
  static let tokenizer = Result { try Harness.bundle(TinyModel(), CPUDevice(threads: 1)).tokenizer }

  static func pieces(_ text: String, stops: [String]) throws -> (
    pieces: [TextAssembler.Piece], stop: String?
  ) {
    var assembler = TextAssembler(try tokenizer.get(), stops: stops)
    var pieces = text.utf8.map { assembler.append(TokenOutput(id: TokenID($0))) }
    pieces.append(assembler.finish())
    return (pieces, assembler.stop)
  }

  @Test(arguments: [[], ["zz"], ["ü€"], ["end", "ending"], ["d"]])
  func textsAndTokensAreWhole(stops: [String]) throws {
    let text = "aü€😀b stop ending"
    let (pieces, stop) = try Self.pieces(text, stops: stops)
    let shown = pieces.map(\.text).joined()
    let end = stops.compactMap { text.firstRange(of: $0)?.lowerBound }.min()
    #expect(shown == text[..<(end ?? text.endIndex)])
    #expect((stop != nil) == (end != nil))
    // Tokens come in order, once, and none before its text.
    var bytes = 0
    var tokens: [TokenID] = []
    for piece in pieces {
      bytes += piece.text.utf8.count
      tokens += piece.tokens.map(\.id)
      #expect(tokens.count <= bytes || stop == nil)
    }
    #expect(tokens == text.utf8.prefix(tokens.count).map { TokenID($0) })
    #expect(stop != nil || tokens.count == text.utf8.count)
  }

  /// A text that goes on after a prompt keeps the space between them; an answer begins without.
  @Test(arguments: [(false, "a a"), (true, " a a")])
  func aSpaceBelongsToWhatGoesOn(continuing: Bool, text: String) throws {
    let tokenizer = try TestVocabulary.sentencePiece(["▁a"])
    var assembler = TextAssembler(tokenizer, continuing: continuing)
    let word = TokenOutput(id: TokenID(tokenizer.vocabularySize - 1))
    let pieces = [assembler.append(word), assembler.append(word), assembler.finish()]
    #expect(pieces.map(\.text).joined() == text)
  }

  @Test func tokensWithoutTextAreNotLost() throws {
    var assembler = TextAssembler(try Self.tokenizer.get())
    let control = assembler.append(TokenOutput(id: 256))
    #expect(control.text.isEmpty && control.tokens == [TokenOutput(id: 256)])
    #expect(assembler.append(TokenOutput(id: 0xe2)).tokens.isEmpty)
    let rest = assembler.finish()
    #expect(rest.text == "\u{fffd}" && rest.tokens == [TokenOutput(id: 0xe2)])
  }
}
