import ArgumentParser
import Devices
import Inference
import LanguageModels
import ModelStore

/// An error with the exit code that scripts can tell it by (those of sysexits.h).
struct CommandFailure: Error, CustomStringConvertible {
  enum Code: Int32 {
    case data = 65
    case noInput = 66
  }

  let code: Code
  let description: String

  init(_ code: Code, _ description: String) {
    self.code = code
    self.description = description
  }
}

/// Runs a command's body and turns what it throws into a message and an exit code.
func reportingErrors(_ body: () throws -> Void) throws {
  do {
    try body()
  } catch let error as ValidationError {
    throw error
  } catch let error as ExitCode {
    throw error
  } catch let failure as CommandFailure {
    Terminal.note("attn: \(failure)")
    throw ExitCode(failure.code.rawValue)
  } catch let failure as ModelStore.Failure {
    Terminal.note("attn: \(failure)")
    throw ExitCode(failure.exitCode)
  } catch {
    Terminal.note("attn: \(error)")
    throw ExitCode(CommandFailure.Code.data.rawValue)
  }
}
