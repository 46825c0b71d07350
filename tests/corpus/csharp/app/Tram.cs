using System;
using System.Collections.Generic;
using System.IO;
using System.Threading.Tasks;

class TramLate : Exception
{
    public TramLate(string message, Exception inner) : base(message, inner) { }
}

class Tram
{
    static int Stop(Dictionary<string, int> stops, string name)
    {
        return stops[name];
    }

    static int Ride(string name)
    {
        try
        {
            return Stop(new Dictionary<string, int> { { "market", 3 } }, name);
        }
        catch (KeyNotFoundException problem)
        {
            throw new TramLate("no tram to " + name, problem);
        }
    }

    static void Main(string[] arguments)
    {
        Console.WriteLine("tram leaves");
        if (arguments[0] == "caught")
        {
            try
            {
                Ride("harbour");
            }
            catch (TramLate problem)
            {
                Console.Error.WriteLine("warn: Tram[7]");
                Console.Error.WriteLine("      riding on foot: " + problem);
            }
            Console.WriteLine("tram arrives");
        }
        else if (arguments[0] == "several")
        {
            Task.WaitAll(Task.Run(() => Ride("harbour")), Task.Run(() => File.ReadAllText("timetable.txt")));
        }
        else
        {
            Ride("harbour");
        }
    }
}
