/// The unigram language model: the segmentation of highest total score, by Viterbi.
///
/// Kudo, *Subword Regularization*, arXiv 1804.10959.
struct UnigramModel: Sendable {
  var scores: [Float]
  var pieces: SortedPieces
  var byteTokens: [TokenID]
  var unknown: TokenID?
  /// Ten below the lowest score, as SentencePiece has it.
  var unknownScore: Float

  private struct Step {
    var score: Float
    var start: Int
    var id: TokenID
  }

  func encode(
    _ bytes: [UInt8], _ range: Range<Int>, _ vocabulary: Vocabulary, into ids: inout [TokenID]
  ) {
    let base = range.lowerBound
    var best = [Step](
      repeating: Step(score: -.infinity, start: -1, id: -1), count: range.count + 1)
    best[0].score = 0
    var i = base
    while i < range.upperBound {
      let characterEnd = min(i + UTF8.length(leading: bytes[i]), range.upperBound)
      let here = best[i - base].score
      var coversCharacter = false
      pieces.forEachPrefix(of: bytes, at: i, end: range.upperBound) { id, end in
        if end == characterEnd { coversCharacter = true }
        let score = here + scores[Int(id)]
        if best[end - base].start < 0 || score > best[end - base].score {
          best[end - base] = Step(score: score, start: i, id: id)
        }
      }
      if !coversCharacter {
        let score = here + unknownScore
        let end = characterEnd - base
        if best[end].start < 0 || score > best[end].score {
          best[end] = Step(score: score, start: i, id: -1)
        }
      }
      i = characterEnd
    }
    var path: [(Range<Int>, TokenID)] = []
    var end = range.upperBound
    while end > base {
      let step = best[end - base]
      // Every character boundary is reachable through the step above.
      guard step.start >= base else { break }
      path.append((step.start..<end, step.id))
      end = step.start
    }
    var lastUnknown = false
    for (range, id) in path.reversed() {
      if id >= 0 {
        ids.append(id)
        lastUnknown = false
      } else {
        lastUnknown = vocabulary.appendUnknown(
          bytes, range, byteTokens, unknown, after: lastUnknown, &ids)
      }
    }
  }
}
