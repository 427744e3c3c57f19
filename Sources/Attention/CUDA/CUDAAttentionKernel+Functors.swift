internal import Devices
internal import Tensors

// The variant's six functors, its sinks and the bounds of its mask as device functions.
extension CUDAAttentionKernel {
  /// All functors; those that the variant lacks are the identity.
  var functors: [String] {
    [
      vectorFunctor(.query, "const Query*", shape.headDimension),
      vectorFunctor(.key, "const Stored*", shape.headDimension),
      vectorFunctor(.value, "const Stored*", shape.valueDimension),
      vectorFunctor(.output, "const float*", shape.valueDimension),
      logits, mask, sinks, visible,
    ]
  }

  func has(_ kind: Functor.Kind) -> Bool { variant.functors.contains { $0.kind == kind } }

  var bounds: MaskBounds { MaskBounds(resolved(variant.maskExpression)) }

  private func resolved(_ expression: Expression) -> Expression {
    expression.resolving(variant.parameters, bound: bound)
  }

  private var printer: CUDAExpressionPrinter {
    CUDAExpressionPrinter(declarations: variant.declarations, heads: shape.queryHeads)
  }

  /// The stages of a functor on vectors: each asks the one before for the elements it reads, so
  /// that no stage needs memory or a barrier.
  private func vectorFunctor(_ kind: Functor.Kind, _ row: String, _ count: Int) -> String {
    let name = kind.rawValue
    // A stored element's own scale belongs to it before any functor sees it; without one, scores
    // and outputs are scaled instead.
    let scale =
      switch kind {
      case .key where has(.key): " * a.keyScales[p.kvHead]"
      case .value where has(.value): " * a.valueScales[p.kvHead]"
      default: ""
      }
    let signature = "(const Arguments& a, const Place& p, \(row) row, int d)"
    var functions = [
      "__device__ inline float \(name)_0\(signature) { return load(row + d)\(scale); }"
    ]
    let stages = variant.functors.filter { $0.kind == kind }
    for (i, functor) in stages.enumerated() {
      var printer = printer
      printer.dimensionCount = count
      printer.element = "\(name)_\(i)"
      let body = printer.print(resolved(functor.expression))
      functions.append(
        """
        __device__ \(Self.isLong(body) ? "__noinline__" : "inline") float \(name)_\(i + 1)\(signature) {
          \(origin(functor.kind.rawValue, functor.expression))
          return \(body);
        }
        """)
    }
    functions.append(
      "__device__ inline float \(name)\(signature) { return \(name)_\(stages.count)(a, p, row, d); }"
    )
    return functions.joined(separator: "\n")
  }

  /// What of the variant the line that follows comes from: the compiler's errors there name it.
  private func origin(_ functor: String, _ expression: Expression) -> String {
    CUDASource.origin("\(variant.name), \(functor): \(variant.declarations.printer(expression))")
  }

  /// Whether a functor's function is called and not inlined, dozens of times over: one that turns or
  /// raises takes the compiler seconds there.
  private static func isLong(_ body: String) -> Bool {
    ["sinf(", "cosf(", "powf(", "tanhf(", "logf("].contains { body.contains($0) }
  }

  /// Whether any functor on vectors is called.
  var callsFunctors: Bool {
    let kinds: [Functor.Kind] = [.query, .key, .value, .output]
    return variant.functors.contains {
      kinds.contains($0.kind) && Self.isLong(printer.print(resolved($0.expression)))
    }
  }

  /// What becomes of a scaled score.
  private var logits: String {
    """
    __device__ inline float logits(const Arguments& a, const Place& p, float s) {
      \(origin("logits", variant.logitsExpression))
      return \(printer.print(resolved(variant.logitsExpression)));
    }
    """
  }

  /// The part of the mask that bounds do not cover.
  private var mask: String {
    """
    __device__ inline bool mask(const Arguments& a, const Place& p) {
      \(origin("mask", variant.maskExpression))
      return \(bounds.residual.map { printer.print($0) + " != 0.f" } ?? "true");
    }
    """
  }

  /// Takes the sinks' weight from a finished row: the new log-sum-exp, and the row's factor.
  private var sinks: String {
    let lines = variant.functors.filter { $0.kind == .sink }.map { functor in
      """
        {
          \(origin("sink", functor.expression))
          const float sink = \(printer.print(resolved(functor.expression)));
          const float top = fmaxf(lse, sink);
          if (top > -infinity()) {
            const float sum = top + logf(expf(lse - top) + expf(sink - top));
            factor *= expf(lse - sum);
            lse = sum;
          }
        }
      """
    }
    return """
      __device__ inline float add_sinks(const Arguments& a, const Place& p, float& lse) {
        float factor = 1.f;
      \(lines.joined(separator: "\n"))
        return factor;
      }
      """
  }

  /// The positions that the mask's bounds leave to a row.
  private var visible: String {
    let lines = bounds.bounds.map { bound in
      let form = bound.form
      let limit =
        "\(form.query) * p.query + \(form.kvLength) * p.kvLength + "
        + "\(form.queryLength) * p.queryLength + \(form.constant)"
      let strict = bound.isStrict
      return bound.isUpper
        ? """
          {
            const double limit = \(limit);
            const double last = \(strict ? "ceil(limit) - 1.0" : "floor(limit)");
            if (last < row.end - 1.0) row.end = last < 0.0 ? 0 : int(last) + 1;
          }
        """
        : """
          {
            const double limit = \(limit);
            const double first = \(strict ? "floor(limit) + 1.0" : "ceil(limit)");
            if (first > row.first) row.first = first > row.end ? row.end : int(first);
          }
        """
    }
    return """
      __device__ inline void bound(const Place& p, Row& row) {
        row.first = 0;
        row.end = p.kvLength;
      \(lines.joined(separator: "\n"))
      }
      """
  }
}
