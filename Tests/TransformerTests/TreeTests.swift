import Testing
import Transformer

@Suite struct TreeTests {
  /// In the Penn Treebank's format, made up for these tests.
  static let treebank = """
    ( (S
        (NP-SBJ (DT The) (JJ old) (NN dog) )
        (VP (VBD slept)
          (PP-LOC (IN under)
            (NP (DT the) (NN table) )))
        (. .) ))
    (S (NP-SBJ-1 (PRP She)) (VP (VBZ wants) (S (NP-SBJ (-NONE- *-1)) (VP (TO to) (VP (VB leave)))))
       (, ,) (ADVP (RB today)) (. .))
    """

  static func trees() throws -> [ConstituencyTree] {
    try ConstituencyTree.read(treebank).compactMap(\.simplified)
  }

  @Test func readsTreebanks() throws {
    let trees = try Self.trees()
    #expect(trees.count == 2)
    #expect(
      trees[0].bracketed
        == "(S (NP (DT The) (JJ old) (NN dog)) (VP (VBD slept) (PP (IN under) "
        + "(NP (DT the) (NN table)))) (. .))")
    #expect(
      trees[1].bracketed
        == "(S (NP (PRP She)) (VP (VBZ wants) (S (VP (TO to) (VP (VB leave))))) (, ,) "
        + "(ADVP (RB today)) (. .))")
    #expect(try ConstituencyTree.read(trees[1].bracketed) == [trees[1]])
    #expect(try ConstituencyTree.read(" \n").isEmpty)
  }

  @Test(arguments: ["(S (NP", "(S (NN a) b)", "S", "(S (NN a b))", "(S))", "(NN a"])
  func refusesMalformed(text: String) {
    #expect(throws: ConstituencyTree.Malformed.self) { try ConstituencyTree.read(text) }
  }

  @Test func refusesTowers() {
    let tower = String(repeating: "(S ", count: 100_000)
    #expect(throws: ConstituencyTree.Malformed.self) { try ConstituencyTree.read(tower) }
  }

  @Test func linearizes() throws {
    for tree in try Self.trees() {
      let symbols = LinearizedTree.symbols(tree)
      #expect(LinearizedTree.isWellFormed(symbols, wordCount: tree.words.count))
      #expect(!LinearizedTree.isWellFormed(symbols, wordCount: tree.words.count + 1))
      for i in symbols.indices {
        var broken = symbols
        broken.remove(at: i)
        #expect(!LinearizedTree.isWellFormed(broken, wordCount: tree.words.count))
        // Whatever a model says, all words are in a tree, in order.
        #expect(LinearizedTree.tree(broken, over: tree.words).words == tree.words)
      }
      var score = BracketScore()
      score.add(parse: LinearizedTree.tree(symbols, over: tree.words), gold: tree)
      #expect(score.f1 == 100)
      #expect(score.exact == 1)
    }
    #expect(LinearizedTree.tree([], over: ["a", "b"]).words == ["a", "b"])
    #expect(LinearizedTree.tree([")S", "XX", "XX", "XX"], over: ["a"]).bracketed == "(S (XX a))")
    #expect(!LinearizedTree.isWellFormed([], wordCount: 0))
  }

  /// Counted by hand after evalb's rules.
  @Test func scoresBrackets() throws {
    let gold = try ConstituencyTree.read(
      "(TOP (S (NP (DT a) (NN b)) (, ,) (VP (V c) (PRT (RP d)) (NP (NN e))) (. .)))")[0]
    let parse = try ConstituencyTree.read(
      "(TOP (S (NP (X a)) (NP (X b)) (X ,) (VP (X c) (ADVP (X d)) (X e)) (X .)))")[0]
    // Gold: S, NP 0–2, VP 2–5, ADVP 3–4, NP 4–5; parse: S, NP 0–1, NP 1–2, VP 2–5, ADVP 3–4.
    var score = BracketScore()
    score.add(parse: parse, gold: gold)
    #expect((score.matched, score.found, score.expected, score.exact) == (3, 5, 5, 0))
    #expect(abs(score.f1 - 60) < 1e-9)
    // Punctuation at a phrase's edge does not count.
    let attached = try ConstituencyTree.read("(S (NP (NN a) (, ,)) (VP (V b)))")[0]
    let apart = try ConstituencyTree.read("(S (NP (NN a)) (, ,) (VP (V b)))")[0]
    score = BracketScore()
    score.add(parse: attached, gold: apart)
    #expect(score.f1 == 100)
    // A doubled bracket counts twice.
    let twice = try ConstituencyTree.read("(S (NP (NP (NN a))) (VP (V b)))")[0]
    let once = try ConstituencyTree.read("(S (NP (NN a)) (VP (V b)))")[0]
    score = BracketScore()
    score.add(parse: twice, gold: once)
    #expect((score.matched, score.found, score.expected) == (3, 4, 3))
  }

  /// Brackets are tokens of their own, whatever the text.
  @Test func symbolsAreTokens() throws {
    let trees = try Self.trees()
    let symbols = Set(trees.flatMap { LinearizedTree.symbols($0) }).sorted()
    let vocabulary = SubwordVocabulary(
      learning: ["XX (S < NP > <(S>"], mergeCount: 50, symbols: symbols)
    for tree in trees {
      let tokens = vocabulary.encode(symbols: LinearizedTree.symbols(tree))
      #expect(vocabulary.symbols(tokens) == LinearizedTree.symbols(tree))
    }
    #expect(vocabulary.symbols(vocabulary.encode("XX (S <(S> NP")).isEmpty)
    #expect(vocabulary.decode(vocabulary.encode("XX (S <(S> NP")) == "XX (S <(S> NP")
  }
}
