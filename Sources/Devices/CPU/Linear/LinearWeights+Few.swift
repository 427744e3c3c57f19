internal import CMicrokernels
internal import Synchronization
internal import Tensors

// Decoding: at most SWA_FEW_ROWS rows of activations. The weights are read once, at the speed of
// memory if they can be converted that fast.
extension LinearWeights {
  /// Each worker prepares the activations for itself, then takes runs of panels as it gets free.
  static func multiplyFew(_ x: MatrixView, _ products: [Product], _ device: CPUDevice) {
    let panels = products.reduce(0) { $0 + $1.weights.panels }
    let grain = max(1, panels / (device.pool.count * 6))
    let next = Atomic<Int>(0)
    device.pool.forkJoin { worker in
      var run = next.add(1, ordering: .relaxed).oldValue
      var first = 0
      for product in products {
        let weights = product.weights
        let end = first + (weights.panels + grain - 1) / grain
        if run < end {
          let few = weights.kernels.few
          var job = weights.job(x, product)
          weights.prepare(&job, x, worker)
          while run < end {
            let panel = (run - first) * grain
            few?(&job, panel, min(panel + grain, weights.panels))
            run = next.add(1, ordering: .relaxed).oldValue
          }
        }
        first = end
      }
    }
  }

  /// The product as the kernels see it, activations as they are.
  func job(_ x: MatrixView, _ product: Product) -> swa_linear_job {
    swa_linear_job(
      panels: panelBase, panel_bytes: panelBytes, inputs: inputs, outputs: outputs,
      x: UnsafePointer(x.base), x_stride: x.stride, sums: nil, sums_stride: 0, rows: x.rows,
      y: product.output.base, y_stride: product.output.stride, bias: biasBase,
      accumulate: product.accumulate)
  }

  /// Points a job at activations prepared for quantised weights.
  func prepare(_ job: inout swa_linear_job, _ x: MatrixView, _ worker: Int) {
    guard let prepare = kernels.prepare else { return }
    let groups = inputs / swa_format_group(format)
    let prepared = device.scratch.floats(x.rows * (inputs + groups), worker: worker)
    let sums = prepared + x.rows * inputs
    for row in 0..<x.rows {
      prepare(x.row(row), inputs, prepared + row * inputs, sums + row * groups)
    }
    job.x = UnsafePointer(prepared)
    job.x_stride = inputs
    job.sums = UnsafePointer(sums)
    job.sums_stride = groups
  }
}
