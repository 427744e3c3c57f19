import Foundation

/// Heat maps of cross-attention: a square for each target and source token, the mean over heads.
struct AttentionDrawing {
  /// Layer by layer, target by target, a weight for each source token.
  let maps: [[[Float]]]
  let source: [String]
  let target: [String]

  private static let (cell, margin) = (18, 130)

  var svg: String {
    let (cell, margin) = (Self.cell, Self.margin)
    let (across, down) = (source.count * cell + margin, target.count * cell + margin)
    var text = """
      <svg xmlns="http://www.w3.org/2000/svg" width="\(across * maps.count)" height="\(down)" \
      font-family="sans-serif" font-size="11">
      <rect width="100%" height="100%" fill="white"/>

      """
    for (layer, map) in maps.enumerated() {
      let left = layer * across + margin
      text += "<text x=\"\(left - margin + 4)\" y=\"14\">layer \(layer + 1)</text>\n"
      for (i, token) in source.enumerated() {
        let x = left + i * cell + 12
        text += "<text transform=\"translate(\(x),\(margin - 4)) rotate(-60)\">"
        text += "\(Self.escaped(token))</text>\n"
      }
      for (row, token) in target.enumerated() where row < map.count {
        let y = margin + row * cell
        text += "<text x=\"\(left - 4)\" y=\"\(y + 13)\" text-anchor=\"end\">"
        text += "\(Self.escaped(token))</text>\n"
        for (column, weight) in map[row].enumerated() {
          let shade = 255 - Int(min(max(weight, 0), 1) * 230)
          text += "<rect x=\"\(left + column * cell)\" y=\"\(y)\" width=\"\(cell - 1)\" "
          text += "height=\"\(cell - 1)\" fill=\"rgb(\(shade),\(shade),255)\"/>\n"
        }
      }
    }
    return text + "</svg>\n"
  }

  private static func escaped(_ text: String) -> String {
    text.replacingOccurrences(of: "&", with: "&amp;").replacingOccurrences(of: "<", with: "&lt;")
  }
}
