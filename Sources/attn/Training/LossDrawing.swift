import Foundation

/// Curves of the loss over steps.
struct LossDrawing {
  let training: [(step: Int, loss: Double)]
  let validation: [(step: Int, loss: Double)]

  private static let (width, height, margin) = (720.0, 360.0, 44.0)

  var svg: String {
    let points = smoothed
    let steps = Double(max(points.last?.step ?? 1, 1))
    let top = max((points + validation).map(\.loss).max() ?? 1, 1)
    func place(_ step: Int, _ loss: Double) -> String {
      let x = Self.margin + Double(step) / steps * (Self.width - 2 * Self.margin)
      let y = Self.height - Self.margin - loss / top * (Self.height - 2 * Self.margin)
      return String(format: "%.1f,%.1f", x, y)
    }
    func line(_ points: [(step: Int, loss: Double)], _ colour: String) -> String {
      let places = points.map { place($0.step, $0.loss) }.joined(separator: " ")
      return "<polyline fill=\"none\" stroke=\"\(colour)\" points=\"\(places)\"/>\n"
    }
    var text = """
      <svg xmlns="http://www.w3.org/2000/svg" width="\(Int(Self.width))" height="\(Int(Self.height))" \
      font-family="sans-serif" font-size="12">
      <rect width="100%" height="100%" fill="white"/>

      """
    for i in 0...4 {
      let loss = top * Double(i) / 4
      let y = Self.height - Self.margin - Double(i) / 4 * (Self.height - 2 * Self.margin)
      text += String(
        format: "<text x=\"6\" y=\"%.0f\">%.2f</text><line x1=\"%.0f\" x2=\"%.0f\" y1=\"%.0f\" "
          + "y2=\"%.0f\" stroke=\"#ddd\"/>\n", y + 4, loss, Self.margin,
        Self.width - Self.margin, y, y)
    }
    text += line(points, "#3366cc") + line(validation, "#cc3333")
    text +=
      "<text x=\"\(Int(Self.margin))\" y=\"\(Int(Self.height) - 12)\">steps to \(Int(steps)); "
    text += "blue: training, red: validation; −log p per token</text>\n</svg>\n"
    return text
  }

  /// At most 500 points, each the mean of its neighbours.
  private var smoothed: [(step: Int, loss: Double)] {
    let run = max(training.count / 500, 1)
    return stride(from: 0, to: training.count, by: run).map { first in
      let part = training[first..<min(first + run, training.count)]
      return (part.last?.step ?? 0, part.reduce(0) { $0 + $1.loss } / Double(part.count))
    }
  }
}
