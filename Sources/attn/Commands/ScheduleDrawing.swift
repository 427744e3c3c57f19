import Attention
import Foundation

/// A plan as a Gantt chart: a row for each worker, its items in order, as long as they cost.
struct ScheduleDrawing {
  let plan: AttentionPlan

  private let width = 1_000.0
  private let margin = 40.0

  private var rowHeight: Double { max(3, min(22, 1_200 / Double(plan.workers))) }

  /// The chart; the dashed line is the lower bound.
  var svg: String {
    let schedule = plan.schedule
    let longest = Double(max(schedule.makespan, 1))
    let bottom = margin + rowHeight * Double(plan.workers)
    var lines = [
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"\(text(width + 2 * margin))\" "
        + "height=\"\(text(bottom + margin))\" font-family=\"sans-serif\" font-size=\"12\">",
      "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>",
      "<text x=\"\(text(margin))\" y=\"24\">\(plan.workers) workers, makespan / lower bound "
        + String(format: "%.3f", longest / Double(max(schedule.lowerBound, 1)))
        + ", \(schedule.partialTiles) partial tiles (outlined)</text>",
    ]
    for worker in 0..<plan.workers {
      var start = 0
      for item in schedule.items(of: worker) {
        let cost = schedule.cost(of: item)
        lines.append(
          bar(
            item, x: margin + Double(start) / longest * width,
            y: margin + Double(worker) * rowHeight, width: Double(cost) / longest * width))
        start += cost
      }
    }
    let bound = text(margin + Double(schedule.lowerBound) / longest * width)
    lines.append(
      "<line x1=\"\(bound)\" x2=\"\(bound)\" y1=\"\(text(margin - 6))\" y2=\"\(text(bottom + 6))\" "
        + "stroke=\"black\" stroke-dasharray=\"4 3\"/>")
    lines.append("</svg>")
    return lines.joined(separator: "\n") + "\n"
  }

  private func bar(_ item: WorkItem, x: Double, y: Double, width: Double) -> String {
    let tile = plan.schedule.allTiles[Int(item.tile)]
    let requests = plan.requests(of: tile)
    // Neighbouring numbers get distant hues; what several requests share is grey.
    let colour =
      requests.count > 1
      ? "#9a9a9a"
      : "hsl(\((requests.first ?? 0) * 137 % 360),55%,\(60 + Int(item.tile) % 3 * 6)%)"
    let name = requests.count == 1 ? "request \(requests[0])" : "\(requests.count) requests"
    return "<rect x=\"\(text(x))\" y=\"\(text(y))\" width=\"\(text(max(width, 0.1)))\" "
      + "height=\"\(text(max(rowHeight - 1, 1)))\" fill=\"\(colour)\" "
      + "stroke=\"\(item.state >= 0 ? "black" : "white")\" stroke-width=\"0.5\"><title>\(name), "
      + "\(tile.rowCount) rows, keys \(item.kvFirst)–\(item.kvEnd), "
      + "heads \(item.firstHead)–\(item.headEnd)</title></rect>"
  }

  private func text(_ number: Double) -> String { String(format: "%.2f", number) }
}
