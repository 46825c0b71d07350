<?php
declare(strict_types=1);

final class MuseumClosed extends RuntimeException
{
}

function room(array $rooms, string $name): int
{
    return $rooms[$name];
}

function ticket(string $name): int
{
    try {
        return intdiv(12, room(['hall' => 0], $name));
    } catch (DivisionByZeroError $problem) {
        throw new MuseumClosed("the hall has no seats", 7, $problem);
    }
}

switch (strtok($_SERVER['REQUEST_URI'], '?')) {
    case '/':
        echo "open\n";
        break;
    case '/boom':
        room(['hall' => 3], 'attic');
        break;
    case '/chained':
        ticket('hall');
        break;
    case '/noisy':
        error_log('a line of error_log');
        error_log("two lines:\nthe second of them");
        trigger_error('the lift is old', E_USER_WARNING);
        trigger_error('use the stairs', E_USER_DEPRECATED);
        echo $undefined;
        file_put_contents('php://stderr', "a line on stderr\n");
        echo "noisy\n";
        break;
    case '/parse':
        require 'broken.php';
        break;
    case '/memory':
        ini_set('memory_limit', '4M');
        str_repeat('x', 1 << 24);
        break;
    default:
        http_response_code(404);
}
