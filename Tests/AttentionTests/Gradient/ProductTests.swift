import Attention
import CMicrokernels
import Devices
import Testing

/// The products of the backward pass against their definition, at every level.
@Suite struct ProductTests {
  @Test(arguments: InstructionSet.available)
  func products(level: InstructionSet) throws {
    let kernels = try CPUDevice(threads: 1, instructionSet: level).attentionKernels.gradient
    var random = Random(7)
    for rows in [1, 2, 5, 6, 7, 11, 12, 13, 25] {
      for columns in [1, 8, 16, 24, 40, 48, 80] {
        for depth in [0, 1, 7, 33] {
          for isPanel in [false, true] {
            check(kernels, rows, columns, depth, isPanel, &random)
          }
        }
      }
    }
  }

  private func check(
    _ kernels: swa_gradient_kernels, _ rows: Int, _ columns: Int, _ depth: Int, _ isPanel: Bool,
    _ random: inout Random
  ) {
    // Whole vectors are read and written, up to a multiple of 16.
    let room = (columns + 15) / 16 * 16
    let (lda, ldc) = (max(rows, depth) + 3, room + 5)
    let ldb = isPanel ? 16 : room + 16
    let group = isPanel ? 16 * depth : 16
    func numbers(_ count: Int) -> [Float] { (0..<count).map { _ in random.float() } }
    let a = numbers(lda * max(rows, depth))
    let b = numbers((isPanel ? room : ldb) * max(depth, 1))
    let old = numbers(ldc * rows)
    for isTransposed in [false, true] {
      for accumulates in [false, true] {
        var c = old
        let product = isTransposed ? kernels.product_columns : kernels.product_rows
        product?(a, lda, b, ldb, group, rows, columns, depth, &c, ldc, accumulates)
        for m in 0..<rows {
          for n in 0..<ldc {
            let found = Double(c[m * ldc + n])
            if n >= room { #expect(c[m * ldc + n] == old[m * ldc + n], "written past the room") }
            guard n < columns else { continue }
            var sum = accumulates ? Double(old[m * ldc + n]) : 0
            for k in 0..<depth {
              let left = isTransposed ? a[k * lda + m] : a[m * lda + k]
              sum += Double(left) * Double(b[n / 16 * group + k * ldb + n % 16])
            }
            #expect(abs(found - sum) <= 1e-5, "\(rows) × \(columns) × \(depth), \(m), \(n)")
          }
        }
      }
    }
  }

  @Test(arguments: InstructionSet.available)
  func transposes(level: InstructionSet) throws {
    let kernels = try CPUDevice(threads: 1, instructionSet: level).attentionKernels.gradient
    for (count, d) in [(1, 1), (16, 4), (17, 7), (37, 40), (5, 6)] {
      let (pitch, height) = ((d + 15) / 16 * 16, (d + 3) / 4 * 4)
      let rows = (0..<count * pitch).map { Float($0) }
      var panels = [Float](repeating: .nan, count: (count + 15) / 16 * 16 * height + 1)
      kernels.transpose(rows, pitch, count, d, &panels)
      #expect(panels.last?.isNaN == true)
      for n in 0..<(count + 15) / 16 * 16 {
        for k in 0..<d {
          let found = panels[n / 16 * 16 * height + k * 16 + n % 16]
          #expect(found == (n < count ? rows[n * pitch + k] : 0))
        }
      }
    }
  }

  @Test(arguments: InstructionSet.available)
  func softmax(level: InstructionSet) throws {
    let kernels = try CPUDevice(threads: 1, instructionSet: level).attentionKernels.gradient
    var z: [Float] = [0, -1, -.infinity, 2, -200] + [Float](repeating: -.infinity, count: 11)
    var dp: [Float] = [1, 2, .nan, -3, .infinity] + [Float](repeating: .nan, count: 11)
    kernels.softmax(&z, &dp, 16, 1, 0.5)
    #expect(z[2...].filter { $0 == 0 }.count == 13 && dp[4...].allSatisfy { $0 == 0 })
    #expect(abs(z[0] - 0.36787945) < 1e-7 && abs(dp[0] - 0.18393972) < 1e-7)
    #expect(abs(z[3] - 2.7182817) < 1e-6 && abs(dp[3] + 9.513986) < 1e-5 && dp[2] == 0)
    // An empty row's scores, were they anything, weigh nothing.
    z = [Float](repeating: 5, count: 16)
    dp = [Float](repeating: .nan, count: 16)
    kernels.softmax(&z, &dp, 16, .infinity, .nan)
    #expect(z.allSatisfy { $0 == 0 } && dp.allSatisfy { $0 == 0 })
    // NaN stays, a huge weight stays a number.
    z = [.nan, 500] + [Float](repeating: 0, count: 14)
    dp = [Float](repeating: 1, count: 16)
    kernels.softmax(&z, &dp, 16, 0, 0)
    #expect(z[0].isNaN && dp[0].isNaN && z[1].isFinite && z[1] > 1e38)

    z = [-.infinity, 0.5, 0] + [Float](repeating: -.infinity, count: 13)
    dp = [.nan, 2, 3] + [Float](repeating: .nan, count: 13)
    kernels.unnormalized(&z, &dp, 16)
    #expect(z == [0, 0.5, 0] + [Float](repeating: 0, count: 13))
    #expect(dp == [0, 2, 3] + [Float](repeating: 0, count: 13))

    let factor: [Float] = [.nan, 2, .infinity, 3] + [Float](repeating: .nan, count: 12)
    var dz: [Float] = [0, 0.5, 0, -1] + [Float](repeating: 0, count: 12)
    #expect(kernels.weighted_sum(dz, factor, 16) == -2)
    kernels.chain(factor, &dz, 16)
    #expect(dz == [0, 1, 0, -3] + [Float](repeating: 0, count: 12))
    let x = (0..<37).map { Float($0) }
    #expect(kernels.dot(x, x, 37) == 16206)
  }
}
