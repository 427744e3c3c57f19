import Attention
import Devices
import Tensors

extension KernelCase {
  /// Every functor on every path, odd sizes, every form of storage.
  static var all: [KernelCase] { cores + tensor + warpGroups }

  /// Requests of odd lengths: empty, one token, whole, chunked and decoded prompts.
  private static let odd: [(query: Int, kv: Int)] = [(1, 777), (1, 0), (3, 7), (1, 1), (2, 130)]
  private static let prompts: [(query: Int, kv: Int)] = [
    (37, 37), (1, 0), (5, 7), (70, 203), (1, 777),
  ]

  private static func shape(_ group: Int, _ d: Int, _ dv: Int? = nil, kvHeads: Int = 2)
    -> AttentionShape
  {
    AttentionShape(
      queryHeads: group * kvHeads, kvHeads: kvHeads, headDimension: d, valueDimension: dv)
  }

  private static var cores: [KernelCase] {
    var cases: [KernelCase] = []
    for (i, d) in [40, 64, 80, 96, 128, 192, 256].enumerated() {
      cases.append(
        KernelCase(
          name: "d\(d)", shape: shape([1, 3, 5, 8][i % 4], d), lengths: odd,
          pageSize: [1, 3, 16][i % 3],
          storedType: [.bfloat16, .float16, .float32][i % 3]))
    }
    cases.append(
      KernelCase(name: "odd-d", shape: shape(3, 37, 21), lengths: odd, pageSize: 3, hasScales: true)
    )
    for type in [ElementType.float8E4M3, .float8E5M2, .int8] {
      cases.append(
        KernelCase(
          name: "\(type)", shape: shape(4, 128), lengths: odd, storedType: type, hasScales: true))
    }
    cases.append(
      KernelCase(
        name: "bf16", shape: shape(4, 128), lengths: odd, queryType: .bfloat16, workers: 1))
    cases.append(
      KernelCase(
        name: "latent", shape: shape(4, 576, 512, kvHeads: 1), variant: .latent(),
        lengths: [(1, 130), (1, 0), (2, 7)]))
    cases.append(
      KernelCase(
        name: "shared", shape: shape(4, 64), lengths: [(1, 130), (2, 170), (1, 129), (1, 400)],
        shared: 128))
    cases.append(
      KernelCase(
        name: "pages", shape: shape(2, 64), lengths: [(1, 777), (3, 200)],
        reads: { $0 % 3 != 1 }))
    cases += variants(shape(3, 64), .cores, odd)
    return cases
  }

  private static var tensor: [KernelCase] {
    var cases: [KernelCase] = []
    for (i, d) in [40, 64, 80, 96, 128, 192, 256].enumerated() {
      for (j, rows) in [16, 32, 64, 128].enumerated() where (i + j) % 2 == 0 || d == 128 {
        cases.append(
          KernelCase(
            name: "d\(d)-t\(rows)", shape: shape([1, 3, 5, 8][(i + j) % 4], d, kvHeads: 1),
            lengths: prompts, pageSize: [1, 3, 16][(i + j) % 3],
            queryType: [.bfloat16, .float16][i % 2], storedType: [.bfloat16, .float16][i % 2],
            tile: .tensor(rows: rows), architecture: d >= 192 ? .sm86 : .sm80))
      }
    }
    for type in [ElementType.float8E4M3, .float8E5M2, .int8] {
      cases.append(
        KernelCase(
          name: "\(type)-t16", shape: shape(4, 128), lengths: odd, queryType: .float16,
          storedType: type, tile: .tensor(rows: 16), hasScales: true))
    }
    cases.append(
      KernelCase(
        name: "latent-t16", shape: shape(16, 576, 512, kvHeads: 1), variant: .latent(),
        lengths: [(1, 130), (1, 0), (2, 7)], queryType: .bfloat16, tile: .tensor(rows: 16)))
    cases.append(
      KernelCase(
        name: "shared-t32", shape: shape(4, 64), lengths: [(1, 130), (2, 170), (1, 129), (1, 400)],
        shared: 128, queryType: .bfloat16, tile: .tensor(rows: 32)))
    cases.append(
      KernelCase(
        name: "pages-t16", shape: shape(2, 64), lengths: [(1, 777), (3, 200)],
        reads: { $0 % 3 != 1 }, queryType: .bfloat16, tile: .tensor(rows: 16)))
    cases += variants(shape(3, 64), .tensor(rows: 16), odd)
    return cases
  }

  private static var warpGroups: [KernelCase] {
    var cases: [KernelCase] = []
    for (i, d) in [40, 64, 80, 96, 128, 192, 256].enumerated() {
      for usesTMA in [false, true] {
        cases.append(
          KernelCase(
            name: "d\(d)-\(usesTMA ? "tma" : "wgmma")",
            shape: shape([1, 3, 5, 8][i % 4], d, kvHeads: 1),
            lengths: prompts, pageSize: usesTMA ? [16, 48][i % 2] : [1, 3, 16][i % 3],
            queryType: [.bfloat16, .float16][i % 2], storedType: [.bfloat16, .float16][i % 2],
            tile: .warpGroups(rows: d > 128 || i % 2 == 1 ? 64 : 128, usesTMA: usesTMA), workers: 3,
            architecture: .sm90a))
      }
    }
    cases.append(
      KernelCase(
        name: "fp8-wgmma", shape: shape(4, 128), lengths: prompts, queryType: .float16,
        storedType: .float8E4M3, tile: .warpGroups(rows: 128, usesTMA: false), workers: 3,
        architecture: .sm90a, hasScales: true))
    for usesTMA in [false, true] {
      cases += variants(shape(3, 64), .warpGroups(rows: 64, usesTMA: usesTMA), odd)
    }
    return cases
  }
}
