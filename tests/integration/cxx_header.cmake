# The public headers compile as C++, strictly, each include path being what an installation has.
find_program(cxx_compiler NAMES g++ clang++ c++)
if(cxx_compiler)
  add_test(NAME build.cxx_header
           COMMAND ${cxx_compiler} -fsyntax-only -std=c++11 -Wall -Wextra -Wpedantic -Werror
                   -I${CMAKE_SOURCE_DIR}/client/include -I${CMAKE_SOURCE_DIR}/proto/include
                   -I${CMAKE_SOURCE_DIR}/worker-host/include
                   ${CMAKE_CURRENT_LIST_DIR}/cxx_header.cpp)
endif()
